"""What a person may give: pictures, text and boxes, checked and made safe."""
