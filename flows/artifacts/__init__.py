"""The pages of a run in the Prefect UI: what the command line prints, and pictures of it.

What both UIs show, tried in Chromium with Prefect 3.9.1 (V2 at /v2, the default; V1 at /):

1. A flow run's tab Artifacts lists only what that flow run published: the stages' pages are with the stages' flow runs.
2. An artifact with a key is on the page /artifacts too, which is in no menu; /artifacts/key/KEY lists its versions.
3. Markdown is GFM in both: headings, tables with alignment, fenced code, <details>. HTML is sanitized.
4. Markdown images with data: URIs, PNG or SVG, are drawn in both: a page is one markdown artifact, pictures included.
5. Image artifacts with data: URIs are drawn too, but both UIs print the whole URI below: not used.
6. Mermaid is drawn by V2 (labels: entities such as #34;). V1 shows its source, so labels must be readable there.
7. Text is about 690 pixels wide in V2: pictures are 7.2 inches wide, and tables have few columns.
8. Table artifacts are one bare table, ten rows a page, and cannot hold anything else: not used.
9. 12 MB were taken. Pages stay below some hundred kB, as each publication is kept in Prefect's database.
10. Lists show the first 30 letters of a description. It is rendered as markdown too, so it is escaped as the rest.
"""
