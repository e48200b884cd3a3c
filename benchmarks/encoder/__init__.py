"""What training the text encoder gains and costs."""
