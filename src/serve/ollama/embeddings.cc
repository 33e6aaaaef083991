// POST /api/embed and /api/embeddings

#include <chrono>
#include <memory>
#include <utility>

#include "serve/embeddings_reply.h"
#include "serve/endpoints.h"
#include "serve/ollama/ollama.h"

namespace throng::serve {
namespace {

constexpr size_t kMaxInputs = 2048;
constexpr const char* kAllowed = "a text, or a list of up to 2048 texts";

// None of an input that is absent or empty, with which Ollama's clients load a model.
std::vector<std::string> ParseInputs(const JsonFields& fields) {
  const Json* input = fields.Find("input");
  if (input == nullptr || *input == "") return {};
  if (input->is_string()) return {input->get<std::string>()};
  if (!input->is_array() || input->size() > kMaxInputs) FailField(fields.Path("input"), *input, kAllowed);
  std::vector<std::string> inputs;
  for (const Json& text : *input) {
    if (!text.is_string()) FailField(fmt::format("input[{}]", inputs.size()), text, "a text");
    inputs.push_back(text.get<std::string>());
  }
  return inputs;
}

Json BodyOfEmbed(const std::string& model, std::span<const std::vector<float>> embeddings, int prompt_tokens,
                 int64_t nanoseconds) {
  return {{"model", model},
          {"embeddings", Json(std::vector<std::vector<float>>(embeddings.begin(), embeddings.end()))},
          {"total_duration", nanoseconds},
          {"load_duration", 0},
          {"prompt_eval_count", prompt_tokens}};
}

}  // namespace

HttpReply OllamaEmbed(Context& context, const HttpRequest& request) {
  const Json json = ParseBody(request.body);
  const JsonFields fields(kOllamaEmbed, json);
  std::vector<Choices> inputs;
  for (const std::string& text : ParseInputs(fields))
    inputs.push_back(Choices::OfEmbedding(context.Model(), engine::Prompt(text), "input"));
  const std::string model = OllamaName(context.Model());
  HttpReply reply;
  if (inputs.empty()) {
    reply.body = Dump(BodyOfEmbed(model, {}, 0, 0));
    return reply;
  }
  using Clock = std::chrono::steady_clock;
  const auto made = [model, begin = Clock::now()](std::span<const std::vector<float>> embeddings,
                                                  const Usage& usage) {
    const auto taken = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin);
    return BodyOfEmbed(model, embeddings, usage.prompt_tokens, taken.count());
  };
  reply.source = std::make_shared<EmbeddingsReply>(context, std::move(inputs), made);
  return reply;
}

HttpReply OllamaEmbeddings(Context& context, const HttpRequest& request) {
  const Json json = ParseBody(request.body);
  const JsonFields fields(kOllamaEmbeddings, json);
  const std::string prompt = fields.Text("prompt");
  HttpReply reply;
  if (prompt.empty()) {
    reply.body = Dump({{"embedding", Json::array()}});
    return reply;
  }
  std::vector<Choices> inputs;
  inputs.push_back(Choices::OfEmbedding(context.Model(), engine::Prompt(prompt), "prompt"));
  const auto made = [](std::span<const std::vector<float>> embeddings, const Usage&) {
    return Json{{"embedding", embeddings[0]}};
  };
  reply.source = std::make_shared<EmbeddingsReply>(context, std::move(inputs), made);
  return reply;
}

}  // namespace throng::serve
