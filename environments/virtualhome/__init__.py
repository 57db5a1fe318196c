"""VirtualHome: household programs of the package virtualhome_eval, played as text in its simulator."""
