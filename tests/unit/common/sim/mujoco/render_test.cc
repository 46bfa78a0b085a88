#include "common/sim/mujoco/render.h"

#include <gif_lib.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "common/sim/clip.h"
#include "common/sim/simulator.h"

namespace backflip::sim {
namespace {

TEST(RenderGif, DrawsAnEpisodeWithoutADisplay) {
  unsetenv("DISPLAY");
  unsetenv("WAYLAND_DISPLAY");
  auto task = Task::FromFolder(BACKFLIP_TASKS "/hopper_backflip_guided");
  ASSERT_TRUE(task.ok()) << task.status();
  auto simulator = Simulator::Start(*task, 1);
  ASSERT_TRUE(simulator.ok());
  Ticket ticket;
  ticket.steps = 40;
  ticket.environments.resize(1);
  const auto rollout = (*simulator)->Run(ticket);
  ASSERT_TRUE(rollout.ok()) << rollout.status();
  const auto states = FirstEpisode(**task, *rollout, 40).states;
  const std::string path = testing::TempDir() + "/render_test.gif";
  AnimationOptions options;
  options.width = 120;
  options.height = 90;
  const absl::Status status = RenderGif(**task, states, options, path);
  ASSERT_TRUE(status.ok()) << status;

  int error = 0;
  GifFileType* gif = DGifOpenFileName(path.c_str(), &error);
  ASSERT_NE(gif, nullptr);
  ASSERT_EQ(DGifSlurp(gif), GIF_OK);
  EXPECT_EQ(gif->SWidth, 120);
  EXPECT_EQ(gif->SHeight, 90);
  // 41 moments at 40 a second are about a second of 25 pictures
  EXPECT_EQ(gif->ImageCount, 26);
  // more than sky
  const SavedImage& first = gif->SavedImages[0];
  const std::set<GifByteType> colours(first.RasterBits, first.RasterBits + 120 * 90);
  EXPECT_GT(colours.size(), 20u);
  DGifCloseFile(gif, &error);
}

TEST(WriteGif, RefusesFramesOfDifferentSizes) {
  const std::vector<Image> frames = {{2, 1, std::vector<uint8_t>(6)},
                                     {1, 2, std::vector<uint8_t>(6)}};
  EXPECT_FALSE(WriteGif(testing::TempDir() + "/no.gif", frames, 4).ok());
  EXPECT_FALSE(WriteGif(testing::TempDir() + "/no.gif", {}, 4).ok());
}

}  // namespace
}  // namespace backflip::sim
