"""A graph, or a genome with its silent nodes, as a picture. No torch.

`layout` says where everything stands; `svg`, `dot` and `png` write the same layout down. `columns` stacks stages into
columns, `routes` leads edges around boxes, `style` holds colours, and how wide text is.
"""
