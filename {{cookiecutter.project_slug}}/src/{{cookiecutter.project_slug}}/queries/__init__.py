"""Queries, one module for each model. They never begin, commit or roll back.

A query for rows takes a Reader, which is the connection of Database.read_only_connection() or a
session. A query for objects takes a session. Read rows to answer; load objects to change them.
"""
