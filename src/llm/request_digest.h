// Which requests are the same question.
#pragma once

#include "base/digest.h"
#include "llm/llm.h"

namespace throng::llm {

// Of everything that the answer depends on; not of key and priority.
Digest DigestOfRequest(const Request& request);

}  // namespace throng::llm
