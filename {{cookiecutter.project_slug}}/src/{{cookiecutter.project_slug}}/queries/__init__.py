"""Queries, one module for each model. No transaction begins or ends in them.

A query for rows takes the Database, and needs no unit of work; a row that it inserts is committed.
A query for objects takes a session. Read rows to answer; load objects to change them.
"""
