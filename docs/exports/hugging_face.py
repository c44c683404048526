# custom-ai documents export PROJECT rag_export.jsonl --format jsonl
# needs: pip install datasets
from datasets import load_dataset

chunks = load_dataset("json", data_files="rag_export.jsonl", split="train")
for row in chunks:
    print(row["metadata"]["source"], row["metadata"]["page_label"], row["text"])
