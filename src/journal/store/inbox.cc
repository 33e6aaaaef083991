#include "journal/store/inbox.h"

#include <sys/stat.h>

#include <mutex>
#include <utility>

namespace throng::journal {

namespace {

std::mutex g_mutex;             // of everything here
std::vector<Inbox*> g_inboxes;  // of the journals that this process writes: few

}  // namespace

Inbox::Inbox(int fd) {
  struct stat file {};
  fstat(fd, &file);
  device_ = file.st_dev;
  inode_ = file.st_ino;
  const std::lock_guard lock(g_mutex);
  g_inboxes.push_back(this);
}

Inbox::~Inbox() { Close(); }

void Inbox::Close() {
  const std::lock_guard lock(g_mutex);
  std::erase(g_inboxes, this);
}

std::vector<sim::Intervention> Inbox::Take() {
  const std::lock_guard lock(g_mutex);
  return std::exchange(asked_, {});
}

bool Inbox::Put(const std::string& path, const sim::Intervention& asked) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) return false;
  const std::lock_guard lock(g_mutex);
  for (Inbox* const inbox : g_inboxes) {
    if (inbox->device_ != file.st_dev || inbox->inode_ != file.st_ino) continue;
    inbox->asked_.push_back(asked);
    return true;
  }
  return false;
}

}  // namespace throng::journal
