"""Figures of a run for papers, by matplotlib: vector, as wide as a column, to be read without colour too.

style   sizes, letters, and what tells series apart beside their colour
drawn   from axes that are drawn on to a file
plots   one function for each figure, from its table in `populations.figures` to axes
"""
