// POST /v1/embeddings

#include <bit>
#include <memory>
#include <utility>

#include "base/text/base64.h"
#include "serve/completion_request.h"
#include "serve/embeddings_reply.h"
#include "serve/endpoints.h"

namespace throng::serve {
namespace {

constexpr size_t kMaxInputs = 2048;

std::string Base64Of(const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  return EncodeBase64({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

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
  const auto made = [name = context.Model().Name(), base64 = format == "base64"](
                        std::span<const std::vector<float>> embeddings, const Usage& usage) {
    Json data = Json::array();
    for (const std::vector<float>& embedding : embeddings) {
      data.push_back({{"object", "embedding"},
                      {"index", data.size()},
                      {"embedding", base64 ? Json(Base64Of(embedding)) : Json(embedding)}});
    }
    return Json{{"object", "list"},
                {"data", std::move(data)},
                {"model", name},
                {"usage", {{"prompt_tokens", usage.prompt_tokens}, {"total_tokens", usage.prompt_tokens}}}};
  };
  HttpReply reply;
  reply.source = std::make_shared<EmbeddingsReply>(context, std::move(inputs), made);
  return reply;
}

}  // namespace throng::serve
