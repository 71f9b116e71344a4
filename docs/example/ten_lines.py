import contextune

recipe = contextune.Recipe.model_validate({
    "name": "ten_lines", "model": "model",
    "data": {"articles": {"path": "articles.jsonl"}},
    "arms": {"cpt": {"data": "articles"}, "cft": {"data": "articles", "context": {"policy": "prompts"}}},
    "train": {"epochs": 2, "batch": 4, "lr": 1e-3, "max_length": 160},
    "evaluate": {"tasks": ["quiz.yaml"]},
})
print(contextune.run(recipe)["verdict"]["sentence"])
