"""A graph, or a genome with its silent nodes, as a picture. No torch.

`order` says what is drawn, in which order, and what its stages are. `columns` stacks stages into columns, `routes`
leads edges around boxes, and `arrange` makes a `layout` of all that: `layout_of`, `layout_of_genome`. `marks` turns
a layout into ink, in the colours of `style`, which `svg` and `png` write down; `dot` leaves places to Graphviz.
"""
