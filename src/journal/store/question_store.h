// Stores what calls ask, so that what recurs is stored once: texts cut into parts, settings, names of
// servers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "journal/store/database.h"
#include "llm/llm.h"

namespace throng::journal {

// Cuts a text into its lines, each with its newline, and long lines further, where the bytes around a place
// say so: an insertion changes the parts around it alone. The parts together are the text.
std::vector<std::string_view> CutIntoParts(std::string_view text);

class QuestionStore {
 public:
  // A run of parts with consecutive ids is one number: kMaxRun * the first id + how many follow.
  static constexpr int64_t kMaxRun = 64;

  explicit QuestionStore(Database& database);

  // The parts of a text as a JSON list of runs, "[67,320]": parts 1 to 4 and 5; empty for an empty text. Adds
  // those that are new.
  std::string ListParts(std::string_view text);
  // The row of these settings (constraint, sampling, stop, max_tokens), or of this server; new if need be.
  int64_t SettingsOf(const llm::Request& request);
  int64_t ServerOf(const std::string& name);

 private:
  struct HashDigest {
    size_t operator()(const Digest& digest) const { return static_cast<size_t>(digest.low); }
  };
  // The ids of a table's rows by the digest of what they hold. Forgets all when it has too many: then rows
  // may be stored a second time.
  class Ids {
   public:
    // The id, and whether it is new. `likely` is tried first.
    std::pair<int64_t, bool> Get(const Digest& digest, int64_t likely = 0);
    void Put(const Digest& digest, int64_t id);  // in ascending order of ids
    void StartAfter(int64_t id) { last_ = std::max(last_, id); }

   private:
    void Remember(const Digest& digest, int64_t id);

    std::unordered_map<Digest, int64_t, HashDigest> ids_;
    std::vector<Digest> digests_;  // by id, from first_ on
    int64_t first_ = 1;
    int64_t last_ = 0;
  };
  void Load();
  void AddSettings(int64_t id, const llm::Request& request);

  Database& database_;
  Statement add_part_;
  Statement add_settings_;
  Statement add_constraint_;
  Statement add_server_;
  Hasher hasher_;
  bool loaded_ = false;
  Ids parts_, settings_, servers_;
};

}  // namespace throng::journal
