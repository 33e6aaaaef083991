// Responses that later requests may go on from, in bounded memory: those used longest ago are forgotten.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "serve/fields/json_fields.h"

namespace throng::serve {

struct StoredResponse {
  std::string id;
  std::string body;  // as it was sent
  Json chat;         // the messages, without instructions, and the answer
};

// Any thread may call any method.
class ResponseStore {
 public:
  explicit ResponseStore(size_t most_bytes = kMostBytes) : most_bytes_(most_bytes) {}

  void Put(StoredResponse response);
  std::optional<StoredResponse> Find(const std::string& id);
  bool Remove(const std::string& id);  // whether it was there

 private:
  static constexpr size_t kMostBytes = size_t{64} << 20;
  using Entries = std::list<StoredResponse>;

  static size_t BytesOf(const StoredResponse& response);
  static size_t BytesOf(const Json& json);
  void Erase(Entries::iterator entry);  // with the mutex held

  const size_t most_bytes_;
  std::mutex mutex_;
  Entries entries_;                                           // guarded by mutex_; the most recent first
  std::unordered_map<std::string, Entries::iterator> by_id_;  // guarded by mutex_
  size_t bytes_ = 0;                                          // guarded by mutex_
};

}  // namespace throng::serve
