"""The report page: runs as one HTML file that opens offline.

data      everything that the page shows of all networks at once, as one JSON-able value
details   what it shows of one network alone: its drawing, learning curve and genome
page      the file: the template with styles and scripts, and what starts them
live      what a page that follows runs is told, and when
served    that page as a web application
assets/   the template, its styles and its scripts

The scripts know no files and no server: `render(data)` draws the page and may be called again with fresher data; then
selection, filter and zoom stay. `render.detail(run, id)` is asked for the details of a network and answers later. In
a report both are in the file (`embedded.html`); a live page fetches both (`live.html`).
"""
