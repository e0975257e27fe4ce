"""Figures, tables and intervals: what is drawn of numbers, whatever they measure."""
