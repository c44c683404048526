check:
	python app.py test

.PHONY: check
