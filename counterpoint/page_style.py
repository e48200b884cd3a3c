"""The look of the evaluation's pages: one style sheet, nothing loaded from elsewhere."""

from typing import Final

HEAD: Final = """<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
        color: #1c2430; background: #fff }
 h2 { margin-top: 2.2rem } .scroll { overflow-x: auto }
 table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem }
 th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #d9dee6;
          font-variant-numeric: tabular-nums; white-space: nowrap; vertical-align: top }
 th { vertical-align: bottom } td.name, th.name { text-align: left }
 td.model { font-weight: 600 }
 td.wide { text-align: left; white-space: normal; min-width: 11rem }
 .interval { color: #5a6575; font-size: .82rem; font-weight: 400; display: block }
 .better { color: #12723f } .worse { color: #b3261e } .note { color: #5a6575 }
 .verdict { border-left: .5rem solid; padding: .4rem 1rem; margin: 1.2rem 0; font-size: 1.1rem }
 .side { display: flex; flex-wrap: wrap; gap: 2rem; align-items: center }
 svg { max-width: 100%; height: auto } pre { background: #f4f6f9; padding: 1rem; overflow: auto;
 max-height: 24rem; font-size: .82rem }
</style>
"""
