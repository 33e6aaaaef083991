// Where this process leaves events for a run that it makes itself. The run's journal is locked for everybody
// else while steps are written, and for ever if the one who waits is the run's own thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "sim/intervention.h"

namespace throng::journal {

class Inbox {
 public:
  // fd: the journal's file, which this process writes from now on.
  explicit Inbox(int fd);
  ~Inbox();
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // Takes what was put in, in that order; from any thread, as are the others.
  std::vector<sim::Intervention> Take();
  // From now on, nothing is put in.
  void Close();

  // False: this process does not write the journal at `path`. step: the earliest one.
  static bool Put(const std::string& path, const sim::Intervention& asked);

 private:
  dev_t device_ = 0;  // these two: which file
  ino_t inode_ = 0;
  std::vector<sim::Intervention> asked_;
};

}  // namespace throng::journal
