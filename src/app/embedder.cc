#include "app/embedder.h"

#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "app/backend.h"
#include "base/error.h"
#include "effects/server_embedder.h"

namespace throng::app {

namespace {

class LocalEmbedder final : public effects::Embedder {
 public:
  // Throws kUnsupported for a model that makes none.
  explicit LocalEmbedder(std::shared_ptr<engine::LocalModel> model) : model_(std::move(model)) {
    static_cast<void>(model_->MakeEmbedding(std::string("a text")));
  }

  std::string Identity() const override { return "local: " + model_->Identity(); }

 protected:
  std::vector<std::vector<float>> Embed(const std::vector<std::string>& texts) override {
    struct Answers {
      std::mutex mutex;
      std::condition_variable changed;
      size_t left;
      std::vector<engine::EngineResult> results;
    };
    // The engine may call back after this has returned: when it is destroyed.
    const auto answers = std::make_shared<Answers>();
    answers->left = texts.size();
    answers->results.resize(texts.size());
    std::vector<engine::EngineRequest> requests;
    for (const std::string& text : texts) requests.push_back(model_->MakeEmbedding(text));
    for (size_t i = 0; i < texts.size(); ++i) {
      requests[i].on_done = [answers, i](engine::EngineResult result) {
        const std::lock_guard lock(answers->mutex);
        answers->results[i] = std::move(result);
        if (--answers->left == 0) answers->changed.notify_one();
      };
      model_->Submit(std::move(requests[i]));
    }
    std::unique_lock lock(answers->mutex);
    answers->changed.wait(lock, [&] { return answers->left == 0; });
    std::vector<std::vector<float>> embeddings;
    for (engine::EngineResult& result : answers->results) {
      if (result.error) throw *result.error;
      embeddings.push_back(std::move(result.embedding));
    }
    return embeddings;
  }

 private:
  const std::shared_ptr<engine::LocalModel> model_;
};

}  // namespace

std::shared_ptr<effects::Embedder> MakeEmbedder(const Simulation& simulation, const llm::Llm& backend) {
  const std::string& name = simulation.embed;
  if (name.empty() || backend.AnswersEveryKind()) return nullptr;
  if (name == "fake") return std::make_shared<effects::FakeEmbedder>();
  if (name == "local") {
    std::shared_ptr<engine::LocalModel> model = LocalOf(backend);
    if (model == nullptr) model = std::make_shared<engine::LocalModel>(simulation.local);
    return std::make_shared<LocalEmbedder>(std::move(model));
  }
  if (name.ends_with(".gguf")) {
    return std::make_shared<LocalEmbedder>(
        std::make_shared<engine::LocalModel>(OptionsOfOther(simulation, name)));
  }
  if (name.starts_with("http://") || name.starts_with("https://")) {
    return std::make_shared<effects::ServerEmbedder>(name);
  }
  throw MakeError(ErrorCode::kInvalid,
                  "--embed {}: allowed: local, FILE.gguf, http://HOST:PORT[/v1][?model=NAME], fake", name);
}

town::EmbedNow EmbedNowBy(std::shared_ptr<effects::Embedder> embedder) {
  if (embedder == nullptr) return {};
  return [embedder = std::move(embedder)](const std::string& arguments) {
    effects::ToolResult result = embedder->Use(arguments);
    if (result.outcome != effects::ToolResult::Outcome::kDone) {
      throw Error(ErrorCode::kUnavailable, result.text);
    }
    return std::move(result.text);
  };
}

}  // namespace throng::app
