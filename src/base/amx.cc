#include "base/amx.h"

#include <atomic>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#endif

namespace throng {
namespace {

std::atomic<bool> g_allowed = true;
thread_local int t_scopes = 0;

#if defined(__x86_64__) && defined(__linux__)

// Whether the system keeps the tiles in a thread's state (XCR0).
__attribute__((target("xsave"))) bool SystemHasTiles() {
  constexpr uint64_t kTiles = 3 << 17;
  return (__builtin_ia32_xgetbv(0) & kTiles) == kTiles;
}

// Numbers of the Intel manual (CPUID leaves 1, 7 and 29, state component 18) and of Linux's arch_prctl(2).
bool Detect() {
  unsigned a, b, c, d;
  constexpr unsigned kXsaveInUse = 1u << 27, kTile = 1u << 24, kInt8 = 1u << 25;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kXsaveInUse) == 0) return false;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTile) == 0 || (d & kInt8) == 0) return false;
  // Of the first palette: bytes of all tiles; bytes of a tile's row; their number and rows.
  if (__get_cpuid_count(0x1d, 1, &a, &b, &c, &d) == 0) return false;
  if ((a & 0xffff) < 8192 || (b & 0xffff) < 64 || (b >> 16) < 8 || (c & 0xffff) < 16) return false;
  if (!SystemHasTiles()) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

void LoadTiles() {
  static constexpr TileConfig kConfig;
  asm volatile("ldtilecfg %0" : : "m"(kConfig));
}
void ReleaseTiles() { asm volatile("tilerelease"); }

#else

bool Detect() { return false; }
void LoadTiles() {}
void ReleaseTiles() {}

#endif

}  // namespace

bool AmxInt8Usable() {
  static const bool has = Detect();
  return has && g_allowed.load(std::memory_order_relaxed);
}

void AllowAmx(bool allowed) { g_allowed.store(allowed, std::memory_order_relaxed); }

TileScope::TileScope() {
  if (t_scopes++ == 0) LoadTiles();
}
TileScope::~TileScope() {
  if (--t_scopes == 0) ReleaseTiles();
}

}  // namespace throng
