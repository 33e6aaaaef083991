#include "town/mind/memory.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <tuple>

#include "base/check.h"
#include "base/error.h"

namespace throng::town {
namespace {

constexpr int64_t kFull = 1000;
constexpr size_t kLeastBytes = 21;  // of a memory without text, written down

// log2(n) in units of 1/256, n >= 1: the integer part, then one bit per squaring of the mantissa.
int64_t Log2(uint64_t n) {
  const int whole = std::bit_width(n) - 1;
  uint64_t mantissa = whole > 31 ? n >> (whole - 31) : n << (31 - whole);  // [2^31, 2^32)
  int64_t result = whole;
  for (int bit = 0; bit < 8; ++bit) {
    mantissa = (mantissa * mantissa) >> 31;
    result <<= 1;
    if (mantissa >> 32) {
      mantissa >>= 1;
      result |= 1;
    }
  }
  return result;
}

bool Has(const Words& words, uint64_t word) { return std::binary_search(words.begin(), words.end(), word); }

// The weight of each query word: log2((n + 1) / (number of memories with it)); 0 for words that no memory
// has.
std::vector<int64_t> RarityOf(const Words& query, const std::vector<const Memory*>& memories) {
  std::vector<int64_t> rarity;
  for (const uint64_t word : query) {
    uint64_t count = 0;
    for (const Memory* memory : memories) count += Has(memory->words, word);
    rarity.push_back(count == 0 ? 0 : Log2(memories.size() + 1) - Log2(count));
  }
  return rarity;
}

int64_t RecencyOf(const Memory& memory, int32_t now_minute, int half_minutes) {
  const int64_t age = std::max(0, now_minute - memory.minute);
  return kFull * half_minutes / (half_minutes + age);
}

}  // namespace

const char* MemoryKindName(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::kSaw:
      return "saw";
    case MemoryKind::kDid:
      return "did";
    case MemoryKind::kHeard:
      return "heard";
    case MemoryKind::kSaid:
      return "said";
    case MemoryKind::kThought:
      return "thought";
    case MemoryKind::kPlanned:
      return "planned";
  }
  return "";
}

Words WordsOf(std::string_view text) {
  constexpr uint64_t kFnvStart = 0xcbf29ce484222325ull;
  constexpr uint64_t kFnvPrime = 0x100000001b3ull;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0;
  };
  Words words;
  uint64_t hash = kFnvStart;
  bool inside = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool in_time =
        c == ':' && inside && i + 1 < text.size() && is_digit(text[i - 1]) && is_digit(text[i + 1]);
    if (is_letter(c) || is_digit(c) || in_time) {
      const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      hash = (hash ^ static_cast<uint8_t>(lower)) * kFnvPrime;
      inside = true;
    } else if (inside) {
      words.push_back(hash);
      hash = kFnvStart;
      inside = false;
    }
  }
  if (inside) words.push_back(hash);
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return words;
}

void MemoryStream::Append(int32_t step, int32_t minute, MemoryKind kind, int importance, std::string text) {
  Hasher hasher;
  hasher.Add(digest_).Add(minute).Add(kind).Add(importance).Add(text);
  digest_ = hasher.Finish();
  Words words = WordsOf(text);
  auto memory = std::make_shared<const Memory>(
      Memory{size_, step, minute, kind, importance, std::move(text), std::move(words)});
  auto chunk = std::make_shared<Chunk>();
  if (size_ % kChunkSize == 0) {
    chunk->before = last_;
  } else {
    *chunk = *last_;
  }
  chunk->memories.push_back(std::move(memory));
  last_ = std::move(chunk);
  ++size_;
}

// Ids are places in the order, and words follow from the text.
void MemoryStream::Write(ByteWriter& out) const {
  out.Add(uint64_t{size_});
  for (const Memory* memory : All()) {
    out.Add(memory->step).Add(memory->minute).Add(memory->kind).Add(memory->importance);
    out.Add(std::string_view(memory->text));
  }
}

MemoryStream MemoryStream::Read(ByteReader& in) {
  MemoryStream stream;
  for (size_t left = in.GetCount(kLeastBytes); left > 0; --left) {
    const auto step = in.Get<int32_t>();
    const auto minute = in.Get<int32_t>();
    const auto kind = in.Get<MemoryKind>();
    if (kind > MemoryKind::kPlanned) throw Error(ErrorCode::kCorrupt, "a memory is of no kind that there is");
    const auto importance = in.Get<int32_t>();
    stream.Append(step, minute, kind, importance, std::string(in.GetText()));
  }
  return stream;
}

std::vector<const Memory*> MemoryStream::All() const {
  std::vector<const Memory*> all(size_);
  for (const Chunk* chunk = last_.get(); chunk; chunk = chunk->before.get()) {
    for (const auto& memory : chunk->memories) all[memory->id] = memory.get();
  }
  return all;
}

int64_t ScoreOf(const Memory& memory, int32_t now_minute, int half_recency_minutes) {
  return RecencyOf(memory, now_minute, half_recency_minutes) + kFull * memory.importance / 10;
}

std::vector<int64_t> RelevanceByWords(const std::vector<const Memory*>& memories, const Words& query) {
  std::vector<int64_t> relevance(memories.size());
  const std::vector<int64_t> rarity = RarityOf(query, memories);
  const int64_t all = std::accumulate(rarity.begin(), rarity.end(), int64_t{0});
  if (all == 0) return relevance;
  for (size_t i = 0; i < memories.size(); ++i) {
    int64_t found = 0;
    for (size_t word = 0; word < query.size(); ++word) {
      if (rarity[word] > 0 && Has(memories[i]->words, query[word])) found += rarity[word];
    }
    relevance[i] = kFull * found / all;
  }
  return relevance;
}

std::vector<int64_t> RelevanceByEmbeddings(const std::vector<const Memory*>& memories,
                                           const Embeddings& embeddings, const Embedding& query) {
  THRONG_CHECK(embeddings.Size() == memories.size());
  std::vector<int64_t> relevance = embeddings.CosinesTo(query);
  int64_t least = std::numeric_limits<int64_t>::max();
  int64_t most = std::numeric_limits<int64_t>::min();
  for (size_t i = 0; i < memories.size(); ++i) {
    if (memories[i]->kind == MemoryKind::kPlanned) continue;
    least = std::min(least, relevance[i]);
    most = std::max(most, relevance[i]);
  }
  for (size_t i = 0; i < memories.size(); ++i) {
    const bool counts = memories[i]->kind != MemoryKind::kPlanned && most > least;
    relevance[i] = counts ? kFull * (relevance[i] - least) / (most - least) : 0;
  }
  return relevance;
}

std::vector<const Memory*> Retrieve(const std::vector<const Memory*>& memories,
                                    const std::vector<int64_t>& relevance, int32_t now_minute,
                                    const RetrievalLimits& limits) {
  std::vector<std::pair<int64_t, const Memory*>> scored;
  for (size_t i = 0; i < memories.size(); ++i) {
    if (memories[i]->kind == MemoryKind::kPlanned) continue;
    scored.emplace_back(ScoreOf(*memories[i], now_minute, limits.half_recency_minutes) + relevance[i],
                        memories[i]);
  }
  std::sort(scored.begin(), scored.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.first, a.second->id) > std::tuple(b.first, b.second->id);
  });
  std::vector<const Memory*> chosen;
  int bytes = 0;
  for (const auto& [score, memory] : scored) {
    const int size = static_cast<int>(memory->text.size()) + 9;  // "- 08:10 " and the end of the line
    if (static_cast<int>(chosen.size()) == limits.max_lines) break;
    if (bytes + size > limits.max_bytes) continue;
    bytes += size;
    chosen.push_back(memory);
  }
  std::sort(chosen.begin(), chosen.end(), [](const Memory* a, const Memory* b) { return a->id < b->id; });
  return chosen;
}

}  // namespace throng::town
