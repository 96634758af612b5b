"""Queries, one module for each model. They never begin, commit or roll back.

A query for rows takes the Database, and needs no unit of work. A query for objects takes a session.
Read rows to answer; load objects to change them.
"""
