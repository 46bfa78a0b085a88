#include "cli/output/tensorboard.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tensorboard/event.pb.h"

namespace backflip::cli {
namespace {

// CRC-32C (RFC 3720, B.4), which Debian 12's Abseil does not have.
uint32_t Crc32c(absl::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> made;
    for (uint32_t i = 0; i < made.size(); ++i) {
      made[i] = i;
      for (int bit = 0; bit < 8; ++bit) made[i] = (made[i] >> 1) ^ (made[i] & 1 ? 0x82f63b78 : 0);
    }
    return made;
  }();
  uint32_t crc = ~0u;
  for (const unsigned char byte : bytes) crc = (crc >> 8) ^ table[(crc ^ byte) & 0xff];
  return ~crc;
}

template <typename T>
std::string LittleEndian(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  return bytes;
}

// TensorFlow's record (record_writer.h): length, its checksum, data, its checksum. Checksums are
// turned and shifted, so that one of data that holds checksums is none of them.
std::string RecordOf(const tensorboard::Event& event) {
  const auto checksum = [](absl::string_view bytes) {
    const uint32_t crc = Crc32c(bytes);
    return LittleEndian<uint32_t>(((crc >> 15) | (crc << 17)) + 0xa282ead8);
  };
  const std::string data = event.SerializeAsString();
  const std::string length = LittleEndian<uint64_t>(data.size());
  return absl::StrCat(length, checksum(length), data, checksum(data));
}

}  // namespace

absl::StatusOr<std::string> WriteEvents(const std::vector<v1::MetricPoint>& points,
                                        const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  // TensorBoard knows its files by "tfevents", and reads those of a folder in order of their names
  const std::string path =
      (std::filesystem::path(folder) / "events.out.tfevents.0.backflip").string();
  std::ofstream file(path, std::ios::binary);
  tensorboard::Event event;
  if (!points.empty()) event.set_wall_time(points.front().at_ms() / 1000.0);
  event.set_file_version("brain.Event:2");
  file << RecordOf(event);
  for (const v1::MetricPoint& point : points) {
    event.set_wall_time(point.at_ms() / 1000.0);
    event.set_step(point.steps());
    event.mutable_summary()->clear_value();
    tensorboard::Summary::Value& value = *event.mutable_summary()->add_value();
    value.set_tag(point.name());
    value.set_simple_value(static_cast<float>(point.value()));
    file << RecordOf(event);
  }
  file.close();
  if (!file) return absl::UnavailableError(absl::StrCat("cannot write '", path, "'"));
  return path;
}

}  // namespace backflip::cli
