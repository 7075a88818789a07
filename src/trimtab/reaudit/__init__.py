"""Bundles that are made, measured again on other labelled rows: `trimtab audit` and `trimtab compare`.

Nothing here needs the packages that training needs; what a check cannot find out without the rows that a bundle was
made of, it leaves out.
"""
