"""A finished arm for use elsewhere: merged weights, an Ollama Modelfile, GGUF, a server."""
