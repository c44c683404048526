# custom-ai documents export PROJECT rag_export.db        needs: Python, nothing else
import sqlite3

db = sqlite3.connect("rag_export.db")
hits = """
    SELECT d.filename, json_extract(d.metadata, '$.page_start'), d.chunk_text
    FROM documents_fts(?) f JOIN documents d ON d.id = f.rowid ORDER BY f.rank LIMIT 3
"""
for filename, page, text in db.execute(hits, ('"garden"',)):
    print(filename, page, text)
