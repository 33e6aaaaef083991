// POST /v1/embeddings

#include <bit>
#include <memory>
#include <utility>

#include "base/text/base64.h"
#include "serve/completion_request.h"
#include "serve/endpoints.h"
#include "serve/generation.h"
#include "serve/reply.h"

namespace throng::serve {
namespace {

constexpr size_t kMaxInputs = 2048;

std::string Base64Of(const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  return EncodeBase64({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

class EmbeddingsReply : public ReplySource {
 public:
  EmbeddingsReply(Context& context, std::vector<Choices> inputs, bool base64)
      : model_(context.Model().Name()), base64_(base64), generation_(context, std::move(inputs)) {}

  void OnChange(std::function<void()> wake) override { generation_.OnChange(std::move(wake)); }
  void Cancel() override { generation_.Cancel(); }

  State Take(HttpReply& reply) override {
    std::vector<Generation::Piece> ignored;
    if (!generation_.Take(ignored)) return State::kWaiting;
    const Usage usage = Usage::Of(generation_, 1);
    reply.tokens = usage.ForLog();
    Json data = Json::array();
    for (size_t i = 0; i < generation_.NumChoices(); ++i) {
      const engine::EngineResult& result = generation_.Result(i);
      if (!IsFinished(result)) {
        reply = ErrorReply(ErrorOf(result));
        return State::kEnd;
      }
      data.push_back({{"object", "embedding"},
                      {"index", i},
                      {"embedding", base64_ ? Json(Base64Of(result.embedding)) : Json(result.embedding)}});
    }
    reply.body =
        Dump({{"object", "list"},
              {"data", std::move(data)},
              {"model", model_},
              {"usage", {{"prompt_tokens", usage.prompt_tokens}, {"total_tokens", usage.prompt_tokens}}}});
    return State::kEnd;
  }

 private:
  const std::string model_;
  const bool base64_;
  Generation generation_;
};

}  // namespace

HttpReply Embeddings(Context& context, const HttpRequest& request) {
  const Json body = ParseBody(request.body);
  const JsonFields fields(kEmbeddings, body);
  const std::string format = fields.Text("encoding_format", "float");
  if (format != "float" && format != "base64")
    FailField("encoding_format", fields.Get("encoding_format"), "float or base64");
  std::vector<Choices> inputs;
  for (const engine::Prompt& prompt : ParsePrompts(fields, "input", kMaxInputs))
    inputs.push_back(Choices::OfEmbedding(context.Model(), prompt, "input"));
  HttpReply reply;
  reply.source = std::make_shared<EmbeddingsReply>(context, std::move(inputs), format == "base64");
  return reply;
}

}  // namespace throng::serve
