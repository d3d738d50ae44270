"""Calls without generated code: schemas by reflection, messages as JSON, and secrets masked by what the schema says.

Import only the module that is needed.
"""
