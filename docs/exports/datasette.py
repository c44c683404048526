# custom-ai documents export PROJECT rag_export.db        needs: pip install datasette
# In the browser: datasette rag_export.db                 here: the same from Python
import asyncio

from datasette.app import Datasette

datasette = Datasette(["rag_export.db"])
page = datasette.client.get("/rag_export/documents.json?_search=garden&_shape=array")
for row in asyncio.run(page).json():
    print(row["filename"], row["chunk_index"], row["chunk_text"])
