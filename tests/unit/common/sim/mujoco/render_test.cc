#include "common/sim/mujoco/render.h"

#include <gif_lib.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "common/base/status_macros.h"
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

// A red ball that can move freely, seen from 2 m, in the task folder that the test names.
class Seen : public testing::Test {
 protected:
  static constexpr int kWidth = 64, kHeight = 48;

  // What is drawn in each picture [moment] of a ball at `places` (x; z as far below).
  static absl::StatusOr<std::vector<Image>> Draw(const std::string& look,
                                                 const std::vector<double>& places) {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    const std::string folder = testing::TempDir() + "seen_" + info->name();
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/model.xml")
        << "<mujoco>" << look
        << "<worldbody><body name='ball'><freejoint/><geom size='.3' rgba='1 0 0 1'/>"
           "<body><joint name='j'/><geom size='.01' contype='0'/></body></body></worldbody>"
           "<actuator><motor joint='j'/></actuator></mujoco>";
    std::ofstream(folder + "/task.textproto")
        << "name: \"ball\" model: \"model.xml\" frame_skip: 1 episode_steps: 9 action_size: 1 "
           "observation { qvel {} } clip { steps: 5 } question: \"Which?\" camera { distance: 2 }";
    ASSIGN_OR_RETURN(const auto task, Task::FromFolder(folder));
    std::filesystem::remove_all(folder);
    ASSIGN_OR_RETURN(const auto renderer, Renderer::Create(*task, kWidth, kHeight, 0));
    std::vector<Image> images;
    for (const double x : places) {
      std::vector<double> state(task->state_size());
      state[1] = x;
      state[3] = -x;
      state[4] = state[8] = 1;
      images.push_back(renderer->Draw(state.data(), images.empty()));
    }
    return images;
  }
  // Pixels that are rather red.
  static int Red(const Image& image) {
    int count = 0;
    for (size_t i = 0; i < image.rgb.size(); i += 3) {
      count += image.rgb[i] > 60 && image.rgb[i] > 2 * image.rgb[i + 1] ? 1 : 0;
    }
    return count;
  }
};

TEST_F(Seen, StaysInThePictureHoweverFastItMoves) {
  std::vector<double> places;
  for (int i = 0; i < 20; ++i) places.push_back(0.05 * i * i);
  const auto images = Draw("", places);
  ASSERT_TRUE(images.ok()) << images.status();
  for (const Image& image : *images) EXPECT_GT(Red(image), 0.8 * Red(images->front()));
}

TEST_F(Seen, LooksAlikeWhateverTheModelSaysOfItsCameraAndLight) {
  const auto plain = Draw("", {0});
  ASSERT_TRUE(plain.ok()) << plain.status();
  ASSERT_GT(Red(plain->front()), 100);
  for (const std::string look :
       {"<visual><global fovy='10'/></visual>", "<visual><global fovy='110'/></visual>",
        "<visual><global orthographic='true' fovy='1'/></visual>",
        "<visual><map zfar='0.5'/></visual>", "<visual><map znear='3'/></visual>",
        "<statistic extent='0.02'/>", "<statistic extent='2000'/>",
        "<visual><headlight active='0'/></visual>",
        "<visual><headlight ambient='0 0 0' diffuse='0 0 0' specular='0 0 0'/></visual>"}) {
    const auto images = Draw(look, {0});
    ASSERT_TRUE(images.ok()) << images.status();
    EXPECT_NEAR(Red(images->front()), Red(plain->front()), 20) << look;
  }
}

TEST(WriteGif, RefusesFramesOfDifferentSizes) {
  const std::vector<Image> frames = {{2, 1, std::vector<uint8_t>(6)},
                                     {1, 2, std::vector<uint8_t>(6)}};
  EXPECT_FALSE(WriteGif(testing::TempDir() + "/no.gif", frames, 4).ok());
  EXPECT_FALSE(WriteGif(testing::TempDir() + "/no.gif", {}, 4).ok());
}

}  // namespace
}  // namespace backflip::sim
