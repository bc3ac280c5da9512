"""Scripted, learned and searching agents for the markets of marketenv."""
