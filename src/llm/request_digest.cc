#include "llm/request_digest.h"

namespace throng::llm {

Digest DigestOfRequest(const Request& request) {
  Hasher hasher;
  hasher.Add(request.function).Add(request.system).Add(request.prompt);
  hasher.Add(uint64_t{request.constraint.choices.size()});
  for (const std::string& choice : request.constraint.choices) hasher.Add(choice);
  hasher.Add(request.constraint.json_schema);
  // Of later versions: what has none of them keeps its digest.
  if (!request.constraint.grammar.empty()) hasher.Add("grammar").Add(request.constraint.grammar);
  if (!request.constraint.regex.empty()) hasher.Add("regex").Add(request.constraint.regex);
  const Sampling& sampling = request.sampling;
  hasher.Add(sampling.temperature).Add(sampling.top_k).Add(sampling.top_p).Add(sampling.min_p);
  hasher.Add(sampling.repetition_penalty).Add(sampling.seed);
  hasher.Add(uint64_t{request.stop.size()});
  for (const std::string& stop : request.stop) hasher.Add(stop);
  if (request.kind != Kind::kModel) {
    hasher.Add("kind").Add(request.kind).Add(request.effect).Add(request.otherwise);
  }
  hasher.Add(request.max_tokens).Add(request.known_prompt_tokens).Add(request.known_output_tokens);
  return hasher.Finish();
}

}  // namespace throng::llm
