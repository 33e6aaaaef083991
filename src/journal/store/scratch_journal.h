// A journal in a temporary file, deleted with the object: for answers that must be the same when asked for
// again, and for runs of which only the numbers count.
#pragma once

#include <memory>
#include <string>

#include "journal/journal.h"

namespace throng::journal {

class ScratchJournal {
 public:
  ScratchJournal();  // throws kIo
  ~ScratchJournal();
  ScratchJournal(const ScratchJournal&) = delete;
  ScratchJournal& operator=(const ScratchJournal&) = delete;

  Journal& Get() { return *journal_; }

 private:
  std::string path_;
  std::unique_ptr<Journal> journal_;
};

}  // namespace throng::journal
