// The memory stream of one agent: append-only, shared between versions; and retrieval of memories for
// prompts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/digest.h"
#include "town/mind/embeddings.h"

namespace throng::town {

enum class MemoryKind : uint8_t { kSaw, kDid, kHeard, kSaid, kThought, kPlanned };
const char* MemoryKindName(MemoryKind kind);

using Words = std::vector<uint64_t>;  // hashes of a text's words, ascending, each once

// Words consist of letters and digits, ignoring case; a time such as 18:00 is one word.
Words WordsOf(std::string_view text);

struct Memory {
  uint32_t id;     // 0, 1, 2, ... per agent
  int32_t step;    // in which it was made; in no prompt, so in no digest
  int32_t minute;  // since the midnight before step 0
  MemoryKind kind;
  int32_t importance;  // 1 to 10
  std::string text;
  Words words;
};

// Copying shares all but the last few memories.
class MemoryStream {
 public:
  void Append(int32_t step, int32_t minute, MemoryKind kind, int importance, std::string text);

  uint32_t Size() const { return size_; }
  // Digest of all memories in order; Append updates it.
  const Digest& GetDigest() const { return digest_; }
  void Write(ByteWriter& out) const;
  static MemoryStream Read(ByteReader& in);  // throws kCorrupt for what Write cannot have written

  // Oldest first. The pointers live as long as this stream or a copy of it.
  std::vector<const Memory*> All() const;

 private:
  struct Chunk {
    std::shared_ptr<const Chunk> before;
    std::vector<std::shared_ptr<const Memory>> memories;  // kChunkSize; fewer in the last chunk
  };
  static constexpr size_t kChunkSize = 16;

  std::shared_ptr<const Chunk> last_;
  uint32_t size_ = 0;
  Digest digest_;
};

// Recency + importance of a memory, each 0 to 1000, in integers.
int64_t ScoreOf(const Memory& memory, int32_t now_minute, int half_recency_minutes);

// How relevant each memory is to a query, 0 to 1000, in their order. By words: the share of the query's words
// that it has, weighted by their rarity among the memories. By embeddings, one per memory: its cosine to the
// query's, scaled so that the least similar has 0 and the most similar 1000 (Generative Agents,
// arXiv 2304.03442, section 4.1); plans have 0, and so have all if they are equally similar.
std::vector<int64_t> RelevanceByWords(const std::vector<const Memory*>& memories, const Words& query);
std::vector<int64_t> RelevanceByEmbeddings(const std::vector<const Memory*>& memories,
                                           const Embeddings& embeddings, const Embedding& query);

struct RetrievalLimits {
  int max_lines;
  int max_bytes;
  int half_recency_minutes;
};

// Returns the memories with the highest recency + importance + relevance, each 0 to 1000, oldest first.
// Leaves out plans, which prompts show elsewhere. All arithmetic is in integers and ties go to the later
// memory, so that every machine retrieves the same.
std::vector<const Memory*> Retrieve(const std::vector<const Memory*>& memories,
                                    const std::vector<int64_t>& relevance, int32_t now_minute,
                                    const RetrievalLimits& limits);

}  // namespace throng::town
