// The reply to a request for embeddings, in the form of any API.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "serve/context.h"
#include "serve/exchange.h"
#include "serve/fields/json_fields.h"
#include "serve/generation.h"
#include "serve/reply.h"

namespace throng::serve {

class EmbeddingsReply : public ReplySource {
 public:
  // The body, of one embedding for each input, in order.
  using Body = std::function<Json(std::span<const std::vector<float>> embeddings, const Usage& usage)>;

  EmbeddingsReply(Context& context, std::vector<Choices> inputs, Body body)
      : body_(std::move(body)), generation_(context, std::move(inputs)) {}

  void OnChange(std::function<void()> wake) override { generation_.OnChange(std::move(wake)); }
  void Cancel() override { generation_.Cancel(); }
  State Take(HttpReply& reply) override;

 private:
  const Body body_;
  Generation generation_;
};

}  // namespace throng::serve
