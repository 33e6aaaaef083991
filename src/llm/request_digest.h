// Digests that tell which requests ask the same question.
#pragma once

#include "base/digest.h"
#include "llm/llm.h"

namespace throng::llm {

// The digest of everything that the answer depends on; not of key and priority.
Digest DigestOfRequest(const Request& request);

}  // namespace throng::llm
