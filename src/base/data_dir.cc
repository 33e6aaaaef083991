#include "base/data_dir.h"

#include <cstdlib>
#include <filesystem>

#include "base/error.h"

namespace throng {

std::string DataDir() {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (const char* set = std::getenv("THRONG_DATA")) {
    if (!fs::is_directory(fs::path(set) / "town", ignored)) {
      throw MakeError(ErrorCode::kIo, "THRONG_DATA={}: there is no folder town in it", set);
    }
    return set;
  }
  const fs::path installed = fs::read_symlink("/proc/self/exe", ignored).parent_path() / "../share/throng";
  for (const fs::path& dir : {installed, fs::path(THRONG_SOURCE_ROOT)}) {
    if (fs::is_directory(dir / "town", ignored)) return dir.lexically_normal().string();
  }
  throw MakeError(ErrorCode::kIo, "the program's data (town/) is neither in {} nor in {}; set THRONG_DATA",
                  installed.lexically_normal().string(), THRONG_SOURCE_ROOT);
}

}  // namespace throng
