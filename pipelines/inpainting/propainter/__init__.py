"""The engine `propainter`: the published system (Zhou et al., ICCV 2023), frame by frame at constant memory."""
