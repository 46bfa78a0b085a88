// Animated GIFs.
#ifndef BACKFLIP_COMMON_SIM_GIF_H_
#define BACKFLIP_COMMON_SIM_GIF_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace backflip::sim {

// Row-major RGB, top row first.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3]
};

// Writes `frames`, at least one and all of one size, as an animation that repeats
// for ever. One palette of 255 colours for all frames; only what changes from
// frame to frame is stored. `delay`: hundredths of a second, 2 or more (viewers
// slow shorter ones down). The file appears whole or not at all.
absl::Status WriteGif(const std::string& path, const std::vector<Image>& frames, int delay);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_GIF_H_
