#include "serve/embeddings_reply.h"

namespace throng::serve {

EmbeddingsReply::State EmbeddingsReply::Take(HttpReply& reply) {
  std::vector<Generation::Piece> ignored;
  if (!generation_.Take(ignored)) return State::kWaiting;
  const Usage usage = Usage::Of(generation_, 1);
  reply.tokens = usage.ForLog();
  std::vector<std::vector<float>> embeddings;
  for (size_t i = 0; i < generation_.NumChoices(); ++i) {
    const engine::EngineResult& result = generation_.Result(i);
    if (!IsFinished(result)) {
      reply = ErrorReply(ErrorOf(result));
      return State::kEnd;
    }
    embeddings.push_back(result.embedding);
  }
  reply.body = Dump(body_(embeddings, usage));
  return State::kEnd;
}

}  // namespace throng::serve
