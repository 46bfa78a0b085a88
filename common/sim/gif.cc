#include "common/sim/gif.h"

#include <fcntl.h>
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::sim {
namespace {

constexpr int kColours = 255;      // that a pixel can have
constexpr int kUnchanged = 255;    // palette index of transparent pixels
constexpr int kSampledFrames = 8;  // that the palette is made from
constexpr int kPaletteRounds = 4;

absl::Status GifError(absl::string_view what, int code) {
  const char* reason = GifErrorString(code);
  return absl::InternalError(
      absl::StrCat("GIF: ", what, ": ", reason == nullptr ? "unknown" : reason));
}

// Colours, and how many pixels of the sampled frames have them.
using Histogram = std::unordered_map<uint32_t, int64_t>;

uint32_t Packed(const uint8_t* rgb) {
  return static_cast<uint32_t>(rgb[0]) << 16 | static_cast<uint32_t>(rgb[1]) << 8 | rgb[2];
}

// Index of the palette's entry that is nearest to a packed colour, and, where
// wanted, the squared distance.
int NearestEntry(const std::vector<GifColorType>& palette, uint32_t colour,
                 int* nearest = nullptr) {
  int best = std::numeric_limits<int>::max(), entry = 0;
  for (int i = 0; i < kColours; ++i) {
    const int red = palette[i].Red - static_cast<int>(colour >> 16);
    const int green = palette[i].Green - static_cast<int>(colour >> 8 & 255);
    const int blue = palette[i].Blue - static_cast<int>(colour & 255);
    const int distance = red * red + green * green + blue * blue;
    if (distance < best) {
      best = distance;
      entry = i;
    }
  }
  if (nearest != nullptr) *nearest = best;
  return entry;
}

// The 255 colours that stand for all frames.
absl::Status MakePalette(const std::vector<Image>& frames, std::vector<GifColorType>* palette) {
  // median cut
  const size_t step = std::max<size_t>(1, frames.size() / kSampledFrames);
  std::vector<GifByteType> red, green, blue;
  Histogram histogram;
  unsigned int rows = 0;
  for (size_t i = 0; i < frames.size(); i += step) {
    const std::vector<uint8_t>& rgb = frames[i].rgb;
    for (size_t j = 0; j + 2 < rgb.size(); j += 3) {
      red.push_back(rgb[j]);
      green.push_back(rgb[j + 1]);
      blue.push_back(rgb[j + 2]);
      ++histogram[Packed(&rgb[j])];
    }
    rows += frames[i].height;
  }
  palette->assign(256, GifColorType{0, 0, 0});
  std::vector<GifByteType> unused(red.size());
  int colours = kColours;
  if (GifQuantizeBuffer(frames[0].width, rows, &colours, red.data(), green.data(), blue.data(),
                        unused.data(), palette->data()) == GIF_ERROR) {
    return absl::InternalError("GIF: no palette could be made");
  }
  // The library cuts at 5 bits a channel, which shows as bands in a sky: move
  // each entry to the mean of its colours (Lloyd's algorithm), and an unused one
  // to where the error is largest.
  for (int round = 0; round < kPaletteRounds; ++round) {
    std::vector<std::array<int64_t, 4>> sums(kColours, {0, 0, 0, 0});
    std::vector<std::pair<int64_t, uint32_t>> errors;
    for (const auto& [colour, count] : histogram) {
      int distance = 0;
      auto& sum = sums[NearestEntry(*palette, colour, &distance)];
      errors.emplace_back(count * distance, colour);
      sum[0] += count * (colour >> 16);
      sum[1] += count * (colour >> 8 & 255);
      sum[2] += count * (colour & 255);
      sum[3] += count;
    }
    std::sort(errors.begin(), errors.end());
    for (int i = 0; i < kColours; ++i) {
      if (sums[i][3] == 0) {
        if (errors.empty()) continue;
        const uint32_t worst = errors.back().second;
        errors.pop_back();
        (*palette)[i] =
            GifColorType{static_cast<GifByteType>(worst >> 16),
                         static_cast<GifByteType>(worst >> 8), static_cast<GifByteType>(worst)};
        continue;
      }
      const auto mean = [&](int channel) {
        return static_cast<GifByteType>((sums[i][channel] + sums[i][3] / 2) / sums[i][3]);
      };
      (*palette)[i] = GifColorType{mean(0), mean(1), mean(2)};
    }
  }
  return absl::OkStatus();
}

absl::Status PutFrame(GifFileType* gif, const std::vector<GifByteType>& now,
                      const std::vector<GifByteType>& before, int width, int height, int delay) {
  // the box around what changed; at least one pixel, so that the frame exists
  int left = width - 1, right = 0, top = height - 1, bottom = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const size_t i = static_cast<size_t>(y) * width + x;
      if (!before.empty() && now[i] == before[i]) continue;
      left = std::min(left, x);
      right = std::max(right, x);
      top = std::min(top, y);
      bottom = std::max(bottom, y);
    }
  }
  if (left > right) left = right = top = bottom = 0;
  GraphicsControlBlock control{};
  control.DisposalMode = DISPOSE_DO_NOT;
  control.DelayTime = delay;
  control.TransparentColor = kUnchanged;
  GifByteType extension[4];
  EGifGCBToExtension(&control, extension);
  if (EGifPutExtension(gif, GRAPHICS_EXT_FUNC_CODE, sizeof(extension), extension) == GIF_ERROR ||
      EGifPutImageDesc(gif, left, top, right - left + 1, bottom - top + 1, false, nullptr) ==
          GIF_ERROR) {
    return GifError("frame", gif->Error);
  }
  std::vector<GifByteType> line(right - left + 1);
  for (int y = top; y <= bottom; ++y) {
    for (int x = left; x <= right; ++x) {
      const size_t i = static_cast<size_t>(y) * width + x;
      line[x - left] = !before.empty() && now[i] == before[i] ? kUnchanged : now[i];
    }
    if (EGifPutLine(gif, line.data(), static_cast<int>(line.size())) == GIF_ERROR) {
      return GifError("line", gif->Error);
    }
  }
  return absl::OkStatus();
}

absl::Status PutAll(GifFileType* gif, const std::vector<Image>& frames, int delay) {
  const int width = frames[0].width, height = frames[0].height;
  std::vector<GifColorType> palette;
  RETURN_IF_ERROR(MakePalette(frames, &palette));
  const std::unique_ptr<ColorMapObject, void (*)(ColorMapObject*)> colours(
      GifMakeMapObject(256, palette.data()), GifFreeMapObject);
  EGifSetGifVersion(gif, true);
  if (EGifPutScreenDesc(gif, width, height, 8, 0, colours.get()) == GIF_ERROR) {
    return GifError("header", gif->Error);
  }
  // "repeat for ever"
  const GifByteType repeat[3] = {1, 0, 0};
  if (EGifPutExtensionLeader(gif, APPLICATION_EXT_FUNC_CODE) == GIF_ERROR ||
      EGifPutExtensionBlock(gif, 11, "NETSCAPE2.0") == GIF_ERROR ||
      EGifPutExtensionBlock(gif, sizeof(repeat), repeat) == GIF_ERROR ||
      EGifPutExtensionTrailer(gif) == GIF_ERROR) {
    return GifError("header", gif->Error);
  }
  std::unordered_map<uint32_t, GifByteType> nearest;
  std::vector<GifByteType> before;
  for (const Image& frame : frames) {
    std::vector<GifByteType> now(static_cast<size_t>(width) * height);
    for (size_t i = 0; i < now.size(); ++i) {
      const uint32_t colour = Packed(&frame.rgb[3 * i]);
      const auto [entry, is_new] = nearest.try_emplace(colour);
      if (is_new) {
        entry->second = static_cast<GifByteType>(NearestEntry(palette, colour));
      }
      now[i] = entry->second;
    }
    RETURN_IF_ERROR(PutFrame(gif, now, before, width, height, delay));
    before = std::move(now);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteGif(const std::string& path, const std::vector<Image>& frames, int delay) {
  if (frames.empty() || frames[0].width < 1 || frames[0].height < 1) {
    return absl::InvalidArgumentError("a GIF needs at least one frame");
  }
  for (const Image& frame : frames) {
    if (frame.width != frames[0].width || frame.height != frames[0].height ||
        frame.rgb.size() != static_cast<size_t>(frame.width) * frame.height * 3) {
      return absl::InvalidArgumentError("the frames of a GIF differ in size");
    }
  }
  const std::string temporary = absl::StrCat(path, ".part");
  int code = 0;
  // by a handle, since the library's own files are for their owner alone
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) {
    return absl::NotFoundError(
        absl::StrCat("could not write ", temporary, ": ", std::strerror(errno)));
  }
  GifFileType* gif = EGifOpenFileHandle(file, &code);
  if (gif == nullptr) return GifError(temporary, code);
  absl::Status status = PutAll(gif, frames, delay);
  if (EGifCloseFile(gif, &code) == GIF_ERROR && status.ok()) {
    status = GifError(temporary, code);
  }
  if (status.ok() && std::rename(temporary.c_str(), path.c_str()) != 0) {
    status = absl::ErrnoToStatus(errno, absl::StrCat("could not write ", path));
  }
  if (!status.ok()) std::remove(temporary.c_str());
  return status;
}

}  // namespace backflip::sim
