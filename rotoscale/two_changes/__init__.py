"""Two changes of one matrix: did two descendants of a base move it the same way (docs/methods.md, section 5b)?

`compare` has the statistics, `result` what each of them is called and means (light: tables are made from it).
"""
