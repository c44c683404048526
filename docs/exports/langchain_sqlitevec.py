# custom-ai documents export PROJECT rag_langchain.db --format langchain
# needs: pip install langchain-community langchain-ollama sqlite-vec
from langchain_community.vectorstores import SQLiteVec
from langchain_ollama import OllamaEmbeddings

model = OllamaEmbeddings(model="nomic-embed-text")  # table meta names the model of the vectors
store = SQLiteVec("langchain", None, model, db_file="rag_langchain.db")
for document in store.similarity_search("garden", k=3):
    print(document.metadata["source"], document.metadata["page_label"], document.page_content)
