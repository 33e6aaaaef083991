// The file format that record.h writes and replay.h reads: JSON lines, a header and then one completion per
// line.
#pragma once

#include <cstdint>
#include <string>

#include "llm/llm.h"

namespace throng::llm {

// Of all that an answer depends on, except key and seed: a replay refuses to answer another question.
std::string RequestDigest(const Request& request);

std::string RecordingHeader(const std::string& identity);
std::string RecordingLine(const Completion& completion, const std::string& function,
                          const std::string& digest);

struct RecordedAnswer {
  std::string function;
  std::string digest;
  Completion completion;
};

// Both throw kCorrupt naming `where`.
std::string ParseRecordingHeader(const std::string& line, const std::string& where);  // the identity
RecordedAnswer ParseRecordingLine(const std::string& line, const std::string& where);

}  // namespace throng::llm
