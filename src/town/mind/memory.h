// The memory stream of one agent: append-only, shared between versions; and what of it a prompt gets to see.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"

namespace throng::town {

enum class MemoryKind : uint8_t { kSaw, kDid, kHeard, kSaid, kThought, kPlanned };
const char* MemoryKindName(MemoryKind kind);

using Words = std::vector<uint64_t>;  // hashes of the words of a text, ascending, each once

// Letters and digits make words, case does not matter; a time such as 18:00 is one word.
Words WordsOf(std::string_view text);

struct Memory {
  uint32_t id;     // 0, 1, 2, ... per agent
  int32_t minute;  // since the midnight before step 0
  MemoryKind kind;
  int32_t importance;  // 1 to 10
  std::string text;
  Words words;
};

// Copying shares all but the last few memories.
class MemoryStream {
 public:
  void Append(int32_t minute, MemoryKind kind, int importance, std::string text);

  uint32_t Size() const { return size_; }
  // Of all memories in order; kept up to date by Append.
  const Digest& GetDigest() const { return digest_; }
  // Oldest first. The pointers live as long as this stream or a copy of it.
  std::vector<const Memory*> All() const;

 private:
  struct Chunk {
    std::shared_ptr<const Chunk> before;
    std::vector<std::shared_ptr<const Memory>> memories;  // at most kChunkSize, the last chunk fewer
  };
  static constexpr size_t kChunkSize = 16;

  std::shared_ptr<const Chunk> last_;
  uint32_t size_ = 0;
  Digest digest_;
};

struct RetrievalLimits {
  int max_lines;
  int max_bytes;
  int half_recency_minutes;
};

// The memories that score highest by recency + importance + relevance, each 0 to 1000, oldest first; plans
// are left out, prompts show them elsewhere. Relevance is the share of the query's words that a memory has,
// weighted by their rarity in this stream. All in integers, and ties go to the later memory, so that every
// machine retrieves the same.
std::vector<const Memory*> Retrieve(const MemoryStream& stream, const Words& query, int32_t now_minute,
                                    const RetrievalLimits& limits);

}  // namespace throng::town
