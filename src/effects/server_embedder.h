// Embeddings of a server that speaks OpenAI's /v1/embeddings.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "effects/embedder.h"
#include "llm/backends/http_options.h"

namespace throng::effects {

// A server that is away, busy or failing is asked again after pauses that grow, over about a minute; but not
// by the constructor.
class ServerEmbedder final : public Embedder {
 public:
  // address: as llm::HttpOptions, such as "http://localhost:8080/v1?model=NAME". Asks for one embedding, so
  // that a server that makes none is known at once. Throws kInvalid for an address that is none, and what
  // Embed throws: kUnavailable, kUnsupported (the server refuses), kBadAnswer.
  explicit ServerEmbedder(const std::string& address);

  // The model, in the server's words, and how long its embeddings are; not where it is.
  std::string Identity() const override { return identity_; }

 protected:
  std::vector<std::vector<float>> Embed(const std::vector<std::string>& texts) override;

 private:
  nlohmann::json Ask(const std::vector<std::string>& texts, size_t attempts) const;

  const llm::HttpOptions options_;
  std::string identity_;
  size_t numbers_ = 0;  // of an embedding
};

}  // namespace throng::effects
