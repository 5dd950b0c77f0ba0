"""Servers with a defect put in on purpose: what the tests of tests/chaos must be able to see.

Each `*.patch` is a unified diff against service/. It must apply without fuzz: when the code it changes moves, it is written anew.
"""
