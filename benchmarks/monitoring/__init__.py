"""Does monitoring stay silent when nothing changed, and speak when something did?"""
